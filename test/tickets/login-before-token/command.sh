meshproof repro test/tickets/login-before-token --expect 401 --request 'GET /' --claims '{"iss":"accounts","sub":"u","iat":1700000000,"exp":1600000000}'
