-- Removes what this run holds, and nothing else.  KEYS: permits, [lease].  ARGV: run.
-- Answer: {permit was held 0 or 1, lease was held 0 or 1}.
local permits, lease = KEYS[1], KEYS[2]
redis.call('ZREMRANGEBYSCORE', permits, '-inf', now_ms())
local permit = redis.call('ZREM', permits, ARGV[1])
local leased = 0
if lease ~= nil and redis.call('GET', lease) == ARGV[1] then
  redis.call('DEL', lease)
  leased = 1
end
return {permit, leased}
