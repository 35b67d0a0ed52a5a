meshproof repro test/tickets/gateway-api-other-name --expect 403 --curl 'curl http://shop.example.com/'
