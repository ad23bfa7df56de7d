-- Put before each script that needs them: the time of Redis, the profile's marker, and times to live that only grow.

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- How long the profile goes on settling, in milliseconds; 0: not settling. Creates a missing marker.
local function settling_for(marker, now, lifetime, marker_ttl, opening)
  local born = tonumber(redis.call('GET', marker) or '')
  if born == nil then
    born = opening and 0 or now
  end
  if born > now then
    born = now
  end
  redis.call('SET', marker, string.format('%.0f', born), 'PX', marker_ttl)
  return math.max(0, born + lifetime - now)
end

-- A key that has no time to live answers -1, so it gets one.
local function keep(key, ttl)
  if redis.call('PTTL', key) < ttl then
    redis.call('PEXPIRE', key, ttl)
  end
end

-- Notes a permit until now + ttl, unless it already lives longer.
local function hold(permits, run, now, ttl)
  redis.call('ZADD', permits, 'GT', now + ttl, run)
  keep(permits, ttl)
end
