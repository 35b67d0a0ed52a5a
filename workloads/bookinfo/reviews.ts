import { hostname } from "node:os";
import { ask, type Call, type Handler, json } from "./http.ts";

const texts: readonly (readonly [reviewer: string, text: string])[] = [
  ["Reviewer1", "An extremely entertaining play by Shakespeare. The slapstick humour is refreshing!"],
  [
    "Reviewer2",
    "Absolutely fun and entertaining. The play lacks thematic depth when compared to other plays by Shakespeare.",
  ],
];

/** Reviews with stars of this colour from the ratings service; without a colour (v1) it does not call that service. */
export function createReviews(ratingsUrl: string, color?: "black" | "red"): Handler {
  return async (call) => {
    if (call.path === "/health") return json(200, { status: "Reviews is healthy" });
    const id = /^\/reviews\/(\d+)$/.exec(call.path)?.[1];
    if (id === undefined) return json(404, { error: "not found" });
    const stars = color && (await askStars(`${ratingsUrl}/ratings/${id}`, call));
    const reviews = texts.map(([reviewer, text]) => {
      if (!stars) return { reviewer, text };
      const count = stars[reviewer];
      const rating =
        count === undefined ? { error: "Ratings service is currently unavailable" } : { stars: count, color };
      return { reviewer, text, rating };
    });
    return json(200, { id, podname: hostname(), clustername: "null", reviews });
  };
}

async function askStars(url: string, call: Call): Promise<Record<string, number>> {
  const answer = await ask(url, call, {}, 2500);
  if (answer?.status !== 200) return {};
  const { ratings } = JSON.parse(answer.body) as { ratings?: Record<string, unknown> };
  return Object.fromEntries(
    Object.entries(ratings ?? {}).filter((entry): entry is [string, number] => typeof entry[1] === "number"),
  );
}
