meshproof repro test/tickets/usual-port --expect 200 --curl 'curl http://shop.example.com:80/'
