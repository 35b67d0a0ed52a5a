meshproof repro test/tickets/gateway-api-beside-route-seen --seen 200 --expect 403 --curl 'curl http://shop.example.com/'
