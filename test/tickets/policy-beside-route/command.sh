meshproof repro test/tickets/policy-beside-route --expect 403 --curl 'curl http://shop.example.com/'
