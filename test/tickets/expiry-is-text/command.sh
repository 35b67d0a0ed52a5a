meshproof repro test/tickets/expiry-is-text --expect 200 --request 'GET http://api.prod/' --claims '{"iss":"https://idp.example","sub":"u","exp":"1700000300"}'
