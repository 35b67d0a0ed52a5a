import { type Handler, json } from "./http.ts";

/** Stars by reviewer; a POST replaces those of one book, in memory. */
export function createRatings(): Handler {
  const posted = new Map<number, unknown>();
  return ({ method, path, body }) => {
    if (path === "/health") return json(200, { status: "Ratings is healthy" });
    if (!path.startsWith("/ratings/")) return json(404, { error: "not found" });
    const digits = /^\/ratings\/(\d+)$/.exec(path)?.[1];
    if (digits === undefined) return json(400, { error: "please provide numeric product ID" });
    const id = Number(digits);
    if (method === "POST") {
      try {
        posted.set(id, JSON.parse(body));
      } catch {
        return json(400, { error: "please provide valid ratings JSON" });
      }
    }
    return json(200, { id, ratings: posted.get(id) ?? { Reviewer1: 5, Reviewer2: 4 } });
  };
}
