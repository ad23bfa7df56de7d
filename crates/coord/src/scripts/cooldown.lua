-- A shorter cool-down never shortens a longer one.  KEYS: cool-down.  ARGV: ms.  Answer: ms in force.
local left = redis.call('PTTL', KEYS[1])
local wanted = tonumber(ARGV[1])
if left >= wanted then
  return left
end
redis.call('SET', KEYS[1], '1', 'PX', wanted)
return wanted
