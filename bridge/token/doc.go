// Package token makes the credentials that clouds want signed anew for each connection: Azure's shared access signatures, JSON Web Tokens,
// and the signed passwords of Alibaba, Huawei and Tencent.
//
// Keys are read at each signature, so that a replaced one counts from the next connection on. What carries a time is not signed
// while the clock is not synchronised: the cloud would refuse it, and say only that the password is wrong.
package token
