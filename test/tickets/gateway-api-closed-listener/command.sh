meshproof repro test/tickets/gateway-api-closed-listener --expect 200 --curl 'curl http://shop.example.com/'
