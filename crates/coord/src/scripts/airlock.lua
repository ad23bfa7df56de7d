-- Cool-down, lease and permit in one step: all or nothing.
-- KEYS: marker, cool-down, permits, [lease].  ARGV: run, permit ttl, lease ttl, limit, marker ttl, opening (0 or 1).
-- Answer: {0 granted | 1 cooling down | 2 no permit | 3 lease busy, wait in ms}.
local marker, cool_down, permits, lease = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local run = ARGV[1]
local permit_ttl, lease_ttl, limit = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local now = now_ms()
local settling = settling_for(marker, now, permit_ttl, tonumber(ARGV[5]), ARGV[6] == '1')

redis.call('ZREMRANGEBYSCORE', permits, '-inf', now)
local has_permit = redis.call('ZSCORE', permits, run) ~= false
local owner = false
if lease ~= nil then
  owner = redis.call('GET', lease)
end
local has_lease = lease == nil or owner == run

if not (has_permit and has_lease) then
  local cooling = redis.call('PTTL', cool_down)
  if cooling > 0 then
    return {1, cooling}
  end
  if owner ~= false and owner ~= run then
    return {3, 0}
  end
  if settling > 0 then
    return {2, settling}
  end
  if not has_permit and redis.call('ZCARD', permits) >= limit then
    local first = redis.call('ZRANGE', permits, 0, 0, 'WITHSCORES')
    if #first == 0 then
      return {2, 1000}
    end
    return {2, math.min(2000, math.max(50, tonumber(first[2]) - now))}
  end
end

hold(permits, run, now, permit_ttl)
if lease ~= nil then
  if has_lease then
    keep(lease, lease_ttl)
  else
    redis.call('SET', lease, run, 'PX', lease_ttl)
  end
end
return {0, 0}
