meshproof repro test/tickets/gateway-api-namespace-wide --expect 200 --claims '{"iss":"https://login.example.com/","sub":"a"}' --curl 'curl http://shop.example.com/'
