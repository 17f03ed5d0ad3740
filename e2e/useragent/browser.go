// Package useragent is the browser of a client in Go, whose user clicks nothing: it follows redirects.
package useragent

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
)

var errArrived = errors.New("the browser has come back")

// Browser keeps cookies, and stops where it is sent back to the client, which is at port 9 of any host.
type Browser struct{ http.Client }

// New gives one without cookies.
func New() *Browser {
	// Without options it cannot fail.
	jar, _ := cookiejar.New(nil)
	return &Browser{http.Client{Jar: jar, CheckRedirect: func(request *http.Request, _ []*http.Request) error {
		if request.URL.Port() == "9" {
			return errArrived
		}
		return nil
	}}}
}

// Browse goes where the browser is sent until it comes back to the client, and gives what it brings along.
func (b *Browser) Browse(to string) (url.Values, error) {
	response, err := b.Get(to)
	if response != nil {
		defer response.Body.Close()
	}
	if err == nil {
		return nil, fmt.Errorf("the browser ended at %s: %s", response.Request.URL, response.Status)
	}
	if !errors.Is(err, errArrived) {
		return nil, err
	}
	back, err := url.Parse(response.Header.Get("Location"))
	if err != nil {
		return nil, err
	}
	return back.Query(), nil
}
