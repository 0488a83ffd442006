<?php

/**
 * Keeps what belongs to a browser in a transient, found by a random cookie: WordPress has no $_SESSION. The end of a session
 * deletes the transient and the session of WordPress that belongs to it.
 */
class Sso_Login_Session
{
    const SECONDS = 86400;

    private $id;
    private $data;

    private function cookie()
    {
        return is_ssl() ? '__Host-sso_login' : 'sso_login';
    }

    private static function key($id)
    {
        return 'sso_login_' . hash('sha256', $id);
    }

    private function load()
    {
        if ($this->data !== null) {
            return;
        }
        $sent = isset($_COOKIE[$this->cookie()]) ? $_COOKIE[$this->cookie()] : '';
        $isId = is_string($sent) && preg_match('/^[0-9a-f]{64}$/D', $sent);
        $kept = $isId ? get_transient(self::key($sent)) : false;
        $this->id = is_array($kept) ? $sent : null;
        $this->data = is_array($kept) ? $kept : array();
    }

    public function get($name)
    {
        $this->load();
        return isset($this->data[$name]) ? $this->data[$name] : null;
    }

    public function set($name, $value)
    {
        $this->load();
        if ($value === null) {
            unset($this->data[$name]);
        } else {
            $this->data[$name] = $value;
        }
        if ($this->id === null) {
            $this->begin();
        }
        set_transient(self::key($this->id), $this->data, self::SECONDS);
    }

    private function begin()
    {
        $this->id = bin2hex(SsoClient::randomBytes(32));
        $this->send($this->id, 0);
    }

    private function send($value, $expires)
    {
        if (headers_sent()) {
            return;
        }
        if (PHP_VERSION_ID >= 70300) {
            setcookie($this->cookie(), $value, array('expires' => $expires, 'path' => '/', 'secure' => is_ssl(), 'httponly' => true, 'samesite' => 'Lax'));
        } else {
            setcookie($this->cookie(), $value, $expires, '/; samesite=Lax', '', is_ssl(), true);
        }
    }

    public function renew()
    {
        $this->load();
        if ($this->id !== null) {
            delete_transient(self::key($this->id));
        }
        $this->begin();
        set_transient(self::key($this->id), $this->data, self::SECONDS);
    }

    public function id()
    {
        $this->load();
        if ($this->id === null) {
            $this->set('begun', time());
        }
        return $this->id;
    }

    /**
     * End a session: this one (null), or that of another browser. With it end the session of WordPress, and the roles that
     * the provider gave. Where the user is signed in by the provider elsewhere too, the next request there gives them again.
     */
    public function destroy($id = null)
    {
        $this->load();
        $own = $id === null || $id === $this->id;
        $data = $own ? $this->data : get_transient(self::key($id));
        if (is_array($data) && isset($data['wordpress'])) {
            WP_Session_Tokens::get_instance($data['wordpress'][0])->destroy($data['wordpress'][1]);
            $user = get_user_by('id', $data['wordpress'][0]);
            if ($user) {
                Sso_Login_Users::takeRoles($user);
            }
        }
        if ($id !== null || $this->id !== null) {
            delete_transient(self::key($id !== null ? $id : $this->id));
        }
        if ($own && $this->id !== null) {
            $this->send('', 1);
            $this->id = null;
            $this->data = array();
        }
    }
}
