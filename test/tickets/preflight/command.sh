meshproof repro test/tickets/preflight --expect 200 --curl "curl -X OPTIONS http://shop.example.com/api -H 'Origin: https://app.example.com' -H 'Access-Control-Request-Method: GET'"
