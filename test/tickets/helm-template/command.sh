meshproof repro test/tickets/helm-template --expect 200 --request 'GET http://api.prod/' --claims '{"iss":"https://idp.example","sub":"u"}'
