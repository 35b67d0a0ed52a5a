meshproof repro test/tickets/gateway-api-https --expect 200 --claims '{"iss":"https://login.example.com/","sub":"a","groups":["user"]}' --curl 'curl https://shop.example.com/'
