meshproof repro test/tickets/authorizer-allows --authorizer 200 --expect 401 --request 'GET /' --claims '{"iss":"https://login.example","sub":"c","exp":1600000000,"iat":1700000000}'
