meshproof repro docs/examples/waypoints/jwt --expect 200 --from web/frontend --claims '{"iss":"https://login.example.com/","sub":"somebody"}' \
  --request 'GET http://orders.shop:8080/'
