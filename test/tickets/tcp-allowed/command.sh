meshproof repro test/tickets/tcp-allowed --expect closed --from prod/client --request 'GET tcp://redis.prod:6379/'
