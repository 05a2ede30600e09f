/** Where factors and comparisons are kept between commands. */
import { homedir } from "node:os";
import { join, resolve } from "node:path";

/** `UNTWIST_CACHE`, or `untwist` in the user's cache folder (XDG base directory specification). */
export function chooseCacheFolder(): string {
  const { UNTWIST_CACHE, XDG_CACHE_HOME } = process.env;
  return resolve(UNTWIST_CACHE || join(XDG_CACHE_HOME || join(homedir(), ".cache"), "untwist"));
}
