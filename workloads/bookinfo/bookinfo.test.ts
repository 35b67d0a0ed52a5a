import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, test } from "node:test";
import { details } from "./details.ts";
import { type Handler, maxBodyBytes, serve } from "./http.ts";
import { createProductPage } from "./productpage.ts";
import { createRatings } from "./ratings.ts";
import { createReviews } from "./reviews.ts";

describe("Bookinfo", () => {
  const running: (() => void)[] = [];
  const seen: { service: string; headers: IncomingHttpHeaders }[] = [];

  async function start(service: string, handler: Handler): Promise<string> {
    const server = serve((call) => {
      seen.push({ service, headers: call.headers });
      return handler(call);
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    running.push(() => {
      server.close();
      server.closeAllConnections();
    });
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  /** An address without a listener: a port that was just closed. */
  async function startDead(): Promise<string> {
    const server = serve(details).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, "close");
    return `http://127.0.0.1:${port}`;
  }

  let productpage: string;
  let ratings: string;
  let broken: string;

  before(async () => {
    ratings = await start("ratings", createRatings());
    const reviews = await start("reviews", createReviews(ratings, "red"));
    productpage = await start(
      "productpage",
      createProductPage({ details: await start("details", details), reviews, ratings }),
    );
    const unavailable = await start("unavailable", () => ({ status: 503, headers: {}, body: "" }));
    broken = await start(
      "productpage",
      createProductPage({ details: unavailable, reviews: await startDead(), ratings: unavailable }),
    );
  });

  after(() => {
    for (const stop of running) stop();
  });

  async function getJson(url: string): Promise<{ status: number; value: unknown }> {
    const response = await fetch(url);
    assert.equal(response.headers.get("content-type"), "application/json");
    return { status: response.status, value: await response.json() };
  }

  test("the product page shows details, reviews and stars of its backends", async () => {
    const response = await fetch(`${productpage}/productpage?u=normal`);
    const body = await response.text();
    assert.equal(response.status, 200);
    for (const text of ["Simple Bookstore App", "PublisherA", "slapstick", "★★★★★", "color:red"])
      assert.ok(body.includes(text), text);
  });

  test("the API serves products, details, reviews and ratings", async () => {
    const products = await getJson(`${productpage}/api/v1/products`);
    assert.deepEqual(Object.keys((products.value as object[])[0] ?? {}), ["id", "title", "descriptionHtml"]);
    assert.equal(((await getJson(`${productpage}/api/v1/products/0`)).value as { year: number }).year, 1595);
    assert.equal(((await getJson(`${productpage}/api/v1/products/1`)).value as { id: number }).id, 1);
    const reviews = await getJson(`${productpage}/api/v1/products/0/reviews`);
    assert.deepEqual(
      (reviews.value as { reviews: { rating: unknown }[] }).reviews.map(({ rating }) => rating),
      [
        { stars: 5, color: "red" },
        { stars: 4, color: "red" },
      ],
    );
    assert.deepEqual(await getJson(`${productpage}/api/v1/products/0/ratings`), {
      status: 200,
      value: { id: 0, ratings: { Reviewer1: 5, Reviewer2: 4 } },
    });
    assert.equal((await getJson(`${productpage}/api/v1/products/one`)).status, 400);
  });

  test("other paths of the page", async () => {
    const statusOf = async (path: string, init?: RequestInit) =>
      (await fetch(`${productpage}${path}`, { redirect: "manual", ...init })).status;
    assert.deepEqual(
      await Promise.all(
        ["/", "/health", "/static/tailwind/tailwind.css", "/logout", "/login", "/nothing"].map((path) =>
          statusOf(path),
        ),
      ),
      [200, 200, 200, 302, 405, 404],
    );
  });

  test("a user who signs in is greeted by name, as plain text, and forwarded as end-user", async () => {
    const login = await fetch(`${productpage}/login`, {
      method: "POST",
      body: new URLSearchParams({ username: "<jason>" }),
      headers: { referer: `${productpage}/productpage` },
      redirect: "manual",
    });
    assert.equal(login.headers.get("location"), `${productpage}/productpage`);
    const cookie = login.headers.get("set-cookie")?.split(";")[0] ?? "";
    seen.length = 0;
    const body = await (await fetch(`${productpage}/productpage`, { headers: { cookie } })).text();
    assert.ok(body.includes("&#60;jason&#62;") && !body.includes("<jason>"));
    assert.deepEqual(
      seen.map(({ service, headers }) => [service, headers["end-user"]]),
      [
        ["productpage", undefined],
        ["details", "%3Cjason%3E"],
        ["reviews", "%3Cjason%3E"],
        ["ratings", "%3Cjason%3E"],
      ],
    );
  });

  test("the tracing context reaches every backend, other headers do not", async () => {
    seen.length = 0;
    const context = {
      "x-request-id": "1-2-3",
      b3: "0-0-1",
      traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      "user-agent": "meshproof/test",
    };
    await fetch(`${productpage}/productpage`, { headers: { ...context, "x-private": "mine" } });
    assert.equal(seen.length, 4);
    for (const { service, headers } of seen.slice(1)) {
      for (const [name, value] of Object.entries(context)) assert.equal(headers[name], value, `${service} ${name}`);
      assert.equal(headers["x-private"], undefined);
    }
  });

  test("failing backends are sections of a page that is still 200, and the API's own status", async () => {
    const response = await fetch(`${broken}/productpage`);
    const body = await response.text();
    assert.equal(response.status, 200);
    assert.ok(body.includes("Error fetching product details") && body.includes("Error fetching product reviews"));
    assert.deepEqual(await getJson(`${broken}/api/v1/products/0`), {
      status: 503,
      value: { error: "Sorry, product details are currently unavailable for this book." },
    });
    assert.equal((await getJson(`${broken}/api/v1/products/0/reviews`)).status, 500);
  });

  test("reviews without ratings: v1 has none, v2 reports that they are missing", async () => {
    const ratingsOf = async (handler: Handler) => {
      const { value } = await getJson(`${await start("reviews", handler)}/reviews/0`);
      return (value as { reviews: { rating?: unknown }[] }).reviews.map(({ rating }) => rating);
    };
    assert.deepEqual(await ratingsOf(createReviews(ratings)), [undefined, undefined]);
    const missing = { error: "Ratings service is currently unavailable" };
    assert.deepEqual(await ratingsOf(createReviews(await startDead(), "black")), [missing, missing]);
  });

  test("posted ratings replace those of one book", async () => {
    const post = (path: string, body: string) => fetch(`${ratings}${path}`, { method: "POST", body });
    assert.equal((await post("/ratings/7", "{")).status, 400);
    assert.equal((await post("/ratings/seven", "{}")).status, 400);
    assert.equal((await post("/ratings/7", '{"Reviewer1":-1}')).status, 200);
    assert.deepEqual((await getJson(`${ratings}/ratings/7`)).value, { id: 7, ratings: { Reviewer1: -1 } });
    assert.deepEqual((await getJson(`${ratings}/ratings/8`)).value, { id: 8, ratings: { Reviewer1: 5, Reviewer2: 4 } });
    assert.equal((await post("/ratings/7", "x".repeat(maxBodyBytes + 1))).status, 413);
  });
});
