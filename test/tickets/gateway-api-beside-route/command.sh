meshproof repro test/tickets/gateway-api-beside-route --curl 'curl http://shop.example.com/'
