meshproof repro test/tickets/gateway-api-not-shown --expect 403 --curl 'curl http://shop.example.com/'
