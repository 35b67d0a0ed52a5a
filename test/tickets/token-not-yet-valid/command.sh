meshproof repro test/tickets/token-not-yet-valid --expect 200 --request 'GET http://api.prod/' --claims '{"iss":"https://idp.example","sub":"u","iat":1700000000,"nbf":1700000600}'
