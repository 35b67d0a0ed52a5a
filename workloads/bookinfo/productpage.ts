import { ask, type Call, type Handler, json, type Reply } from "./http.ts";

interface Backends {
  readonly details: string;
  readonly reviews: string;
  readonly ratings: string;
}

interface Part {
  readonly status: number;
  readonly value: unknown;
}

const product = {
  id: 0,
  title: "The Comedy of Errors",
  descriptionHtml:
    '<a href="https://en.wikipedia.org/wiki/The_Comedy_of_Errors">Wikipedia Summary</a>: one of <b>Shakespeare\'s</b> early plays, his shortest, and full of mistaken identity.',
};

const stylesheet =
  "body{font-family:sans-serif;margin:2rem auto;max-width:60rem}td,th{padding:.25rem 1rem .25rem 0;text-align:left}.error{color:#b00}";

/** The page and the API. A backend that fails is an error section on the page (still 200); the API passes its status on. */
export function createProductPage(backends: Backends): Handler {
  return async (call) => {
    switch (call.path) {
      case "/":
      case "/index.html":
        return html(
          200,
          '<h1>Hello! This is a simple bookstore application.</h1><a href="/productpage">Product page</a>',
        );
      case "/health":
        return { status: 200, headers: { "content-type": "text/html" }, body: "Product page is healthy" };
      case "/productpage":
        return page(
          await askPart(backends, "details", "0", call),
          await askPart(backends, "reviews", "0", call),
          userOf(call),
        );
      case "/login": {
        if (call.method !== "POST") return html(405, "<h1>Method Not Allowed</h1>");
        const user = new URLSearchParams(call.body).get("username") ?? "";
        return redirect(call, `session=${Buffer.from(user).toString("base64url")}; HttpOnly; Path=/`);
      }
      case "/logout":
        return redirect(call, "session=; Max-Age=0; HttpOnly; Path=/");
      case "/static/tailwind/tailwind.css":
        return { status: 200, headers: { "content-type": "text/css" }, body: stylesheet };
      case "/api/v1/products":
        return json(200, [product]);
    }
    const [, id, what = "details"] = /^\/api\/v1\/products\/([^/]+)(?:\/(reviews|ratings))?$/.exec(call.path) ?? [];
    if (id === undefined) return html(404, "<h1>Not Found</h1>");
    const { status, value } = await askPart(backends, what as keyof Backends, id, call);
    return json(status, value);
  };
}

async function askPart(backends: Backends, what: keyof Backends, id: string, call: Call): Promise<Part> {
  const user = userOf(call);
  const extra: Record<string, string> = user === "" ? {} : { "end-user": encodeURIComponent(user) };
  // Reviews twice, as Istio's sample does on purpose: its fault-injection task rests on it.
  const attempts = what === "reviews" ? 2 : 1;
  let status = 500;
  for (let attempt = 0; attempt < attempts; attempt++) {
    const answer = await ask(`${backends[what]}/${what}/${id}`, call, extra, 3000);
    if (answer?.status === 200) return { status: 200, value: JSON.parse(answer.body) };
    status = answer?.status ?? 500;
  }
  return { status, value: { error: `Sorry, product ${what} are currently unavailable for this book.` } };
}

function userOf(call: Call): string {
  const session = /(?:^|;\s*)session=([\w-]*)/.exec(call.headers.cookie ?? "")?.[1] ?? "";
  return Buffer.from(session, "base64url").toString();
}

function redirect(call: Call, cookie: string): Reply {
  const location = call.headers.referer ?? "/productpage";
  return { status: 302, headers: { location, "set-cookie": cookie }, body: "" };
}

function page(details: Part, reviews: Part, user: string): Reply {
  const session =
    user === ""
      ? '<form method="post" action="/login"><input name="username" placeholder="Username"><button>Sign in</button></form>'
      : `<p>${escape(user)} <a href="/logout">Sign out</a></p>`;
  return html(
    200,
    `${session}<h1>${product.title}</h1><p>${product.descriptionHtml}</p>${section("details", details, detailsTable)}${section("reviews", reviews, reviewList)}`,
  );
}

function section(what: string, part: Part, draw: (value: never) => string): string {
  if (part.status === 200)
    return `<h2>Book ${what === "details" ? "Details" : "Reviews"}</h2>${draw(part.value as never)}`;
  const { error } = part.value as { error: string };
  return `<p class="error">Error fetching product ${what}</p><p>${escape(error)}</p>`;
}

function detailsTable(details: Record<string, unknown>): string {
  const columns = { "ISBN-10": "ISBN-10", publisher: "Publisher", pages: "Pages", type: "Type", language: "Language" };
  const heads = Object.values(columns).map((title) => `<th>${title}</th>`);
  const cells = Object.keys(columns).map((key) => `<td>${escape(String(details[key]))}</td>`);
  return `<table><tr>${heads.join("")}</tr><tr>${cells.join("")}</tr></table>`;
}

function reviewList(value: {
  podname: string;
  reviews: { reviewer: string; text: string; rating?: { stars: number; color: string } | { error: string } }[];
}): string {
  const items = value.reviews.map(({ reviewer, text, rating }) => {
    const stars =
      rating === undefined
        ? ""
        : "error" in rating
          ? `<p class="error">${escape(rating.error)}</p>`
          : `<p style="color:${escape(rating.color)}">${"★".repeat(Math.max(0, Math.min(rating.stars, 5)))}</p>`;
    return `<blockquote><p>${escape(text)}</p>${stars}<footer>${escape(reviewer)}</footer></blockquote>`;
  });
  return `${items.join("")}<p>Reviews served by: ${escape(value.podname)}</p>`;
}

function html(status: number, body: string): Reply {
  return {
    status,
    headers: { "content-type": "text/html; charset=utf-8" },
    body: `<!doctype html><html lang="en"><head><title>Simple Bookstore App</title><link rel="stylesheet" href="/static/tailwind/tailwind.css"></head><body>${body}</body></html>`,
  };
}

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
