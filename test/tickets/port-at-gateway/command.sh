meshproof repro test/tickets/port-at-gateway --expect 200 --curl 'curl http://shop.example.com/'
