-- Notes that a client takes part in a login of a person.
--
-- KEYS[1]  the person's
-- ARGV[1]  the login, and the client
-- ARGV[2]  until when, in seconds since 1970
-- ARGV[3]  now, likewise

redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[3])
redis.call('ZADD', KEYS[1], 'GT', ARGV[2], ARGV[1])
redis.call('EXPIREAT', KEYS[1], redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2])
return 'noted'
