meshproof repro test/tickets/gateway-api-classic-selector --expect 403 --curl 'curl http://shop.example.com/'
