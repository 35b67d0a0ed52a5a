/** Seconds since 1970, as tokens count time (RFC 7519, NumericDate). */
export function secondsNow(): number {
  return Math.floor(Date.now() / 1000);
}
