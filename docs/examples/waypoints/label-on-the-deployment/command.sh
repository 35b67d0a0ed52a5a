meshproof repro docs/examples/waypoints/label-on-the-deployment --expect 403 --from web/other \
  --request 'GET http://orders.shop:8080/'
