meshproof repro test/tickets/ip-behind-gateway-corrected --expect 200 --curl "curl http://shop.example.com/ -H 'X-Forwarded-For: 203.0.113.9'"
