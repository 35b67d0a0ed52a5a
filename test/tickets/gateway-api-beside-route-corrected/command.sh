meshproof repro test/tickets/gateway-api-beside-route-corrected --expect 403 --curl 'curl http://shop.example.com/'
