// Preloaded into a gateway: its own port listens on the address that LAB_LISTEN names ("ADDRESS PORT"),
// a wildcard that takes both families for "dual", since no setting of the gateway's says so.
const net = require('node:net');
const [address, port] = (process.env.LAB_LISTEN ?? '').split(' ');
const listen = net.Server.prototype.listen;

net.Server.prototype.listen = function (...given) {
  const options = typeof given[0] === 'object' && given[0] !== null ? { ...given[0] } : undefined;
  const wanted = options ? options.port : given[0];
  if (!address || String(wanted) !== port) return listen.apply(this, given);
  const done = given.findLast((argument) => typeof argument === 'function');
  const where = address === 'dual' ? { host: '::', ipv6Only: false } : { host: address, ipv6Only: address === '::' };
  return listen.call(this, { ...where, port: Number(port) }, done);
};
