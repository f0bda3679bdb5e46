export const words = 'Hello from webpack';
