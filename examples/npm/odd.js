const isOdd = require("is-odd");
const ms = require("ms");
const semver = require("semver");

const { version } = require("./package.json");
if (!semver.valid(version)) {
  throw new Error(`${version} is not a version`);
}
const number = Number(process.argv[2]);
console.log(`${number} is ${isOdd(number) ? "odd" : "even"}; ${ms(60000)} later it still is`);
