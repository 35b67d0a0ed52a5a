meshproof repro test/tickets/claim-routing --expect 200 --curl "curl http://shop.example.com/ -H 'Authorization: Bearer $TOKEN'" --claims '{"iss":"https://idp.example","sub":"u","group":"beta"}'
