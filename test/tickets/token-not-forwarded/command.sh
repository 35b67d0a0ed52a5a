meshproof repro test/tickets/token-not-forwarded --expect 200 --curl "curl http://shop.example.com/ -H 'Authorization: Bearer $TOKEN'" --claims '{"iss":"https://idp.example","sub":"u"}'
