meshproof repro docs/examples/waypoints/selector --expect 403 --from web/frontend \
  --request 'GET http://orders.shop:8080/'
