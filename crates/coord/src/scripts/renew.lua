-- A holder renews, also during a cool-down. Who has lapsed is told so; only while settling an unknown one is put back.
-- KEYS: marker, cool-down, permits, [lease].  ARGV: run, permit ttl, lease ttl, cap, marker ttl.
-- Answer: {permit held 0 or 1, lease held 0 or 1, cool-down in ms}.
local marker, cool_down, permits, lease = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local run = ARGV[1]
local permit_ttl, lease_ttl, cap = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local now = now_ms()
local settling = settling_for(marker, now, permit_ttl, tonumber(ARGV[5]), false)

redis.call('ZREMRANGEBYSCORE', permits, '-inf', now)
local permit_held = 0
if redis.call('ZSCORE', permits, run) ~= false or (settling > 0 and redis.call('ZCARD', permits) < cap) then
  hold(permits, run, now, permit_ttl)
  permit_held = 1
end

local lease_held = 0
if lease == nil then
  lease_held = 1
else
  local owner = redis.call('GET', lease)
  if owner == run then
    keep(lease, lease_ttl)
    lease_held = 1
  elseif owner == false and settling > 0 and permit_held == 1 then
    redis.call('SET', lease, run, 'PX', lease_ttl)
    lease_held = 1
  end
end
return {permit_held, lease_held, math.max(0, redis.call('PTTL', cool_down))}
