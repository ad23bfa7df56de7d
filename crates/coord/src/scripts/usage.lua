-- Permits that are out now.  KEYS: permits.
return redis.call('ZCOUNT', KEYS[1], '(' .. string.format('%.0f', now_ms()), '+inf')
