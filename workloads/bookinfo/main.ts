/** `main.ts <service> <version>`: one of the Bookinfo services on port 9080, by its own name and by its backends' names in the cluster's DNS. */

import { details } from "./details.ts";
import { type Handler, serve } from "./http.ts";
import { createProductPage } from "./productpage.ts";
import { createRatings } from "./ratings.ts";
import { createReviews } from "./reviews.ts";

const backends = { details: "http://details:9080", reviews: "http://reviews:9080", ratings: "http://ratings:9080" };

const services: Readonly<Record<string, (version: string) => Handler>> = {
  details: () => details,
  ratings: () => createRatings(),
  reviews: (version) => createReviews(backends.ratings, { v2: "black" as const, v3: "red" as const }[version]),
  productpage: () => createProductPage(backends),
};

const [service = "", version = "v1"] = process.argv.slice(2);
const create = services[service];
if (!create) {
  console.error(`usage: main.ts <${Object.keys(services).join(" | ")}> <version>, got ${JSON.stringify(service)}`);
  process.exit(2);
}
const server = serve(create(version)).listen(9080, () => {
  console.log(`${service} ${version} listens on port 9080`);
});
process.on("SIGTERM", () => server.close(() => process.exit(0)));
