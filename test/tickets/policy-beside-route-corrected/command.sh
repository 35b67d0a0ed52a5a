meshproof repro test/tickets/policy-beside-route-corrected --expect 403 --curl 'curl http://shop.example.com/'
