meshproof repro test/tickets/token-expired-since-seen-200 --seen 200 --request 'GET http://api.prod/' --claims '{"iss":"https://idp.example","sub":"u","iat":1700000000,"exp":1700000300}'
