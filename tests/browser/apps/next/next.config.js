// BASE is the path under which the editor shows the app; empty on a host name of its own.
module.exports = { basePath: process.env.BASE || '', distDir: process.env.DIST || '.next', devIndicators: false };
