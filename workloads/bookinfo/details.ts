import { type Handler, json } from "./http.ts";

/** Returns the same book for any id, as in Istio's sample. */
export const details: Handler = ({ path }) => {
  if (path === "/health") return json(200, { status: "Details is healthy" });
  if (!path.startsWith("/details")) return json(404, { error: "not found" });
  const id = /^\/details\/(\d+)$/.exec(path)?.[1];
  if (id === undefined) return json(400, { error: "please provide numeric product id" });
  return json(200, {
    id: Number(id),
    author: "William Shakespeare",
    year: 1595,
    type: "paperback",
    pages: 200,
    publisher: "PublisherA",
    language: "English",
    "ISBN-10": "1234567890",
    "ISBN-13": "123-1234567890",
  });
};
