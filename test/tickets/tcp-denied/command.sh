meshproof repro test/tickets/tcp-denied --expect closed --from prod/other --request 'GET tcp://redis.prod:6379/'
