meshproof repro docs/examples/waypoints/request-authentication-selector --expect 200 --from web/frontend --claims '{"iss":"https://login.example.com/","sub":"somebody"}' \
  --request 'GET http://orders.shop:8080/'
