meshproof repro test/tickets/last-slash-corrected --expect 200 --request 'GET http://ledger.bank:8000/' --claims '{"iss":"https://sts.example/tenant/","sub":"c"}'
