meshproof repro test/tickets/jwks-not-json --expect 200 --request 'GET http://api.prod/' --claims '{"iss":"https://idp.example","sub":"u"}'
