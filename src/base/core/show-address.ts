/** Addresses in messages: what may be a secret in them is not shown. */

/** An address as it may be shown: paths and queries of webhooks are as good as passwords. */
export function showAddress(text: string): string {
  if (!URL.canParse(text)) return "…";
  const { protocol, host, pathname, search } = new URL(text);
  return `${protocol}//${host}/${pathname === "/" && search === "" ? "" : "…"}`;
}
