<?php
/**
 * Sign users of a PHP program in with the city's single sign-on (OpenID Connect).
 *
 * One file, no Composer. PHP 5.6 to 8.4 with the extensions curl and openssl.
 *
 *     require 'SsoClient.php';
 *     $sso = new SsoClient(array(
 *         'issuer' => 'https://masuk.example.go.id',
 *         'client_id' => 'antrean',
 *         'client_secret' => getenv('SSO_CLIENT_SECRET'),
 *         'redirect_uri' => 'https://antrean.example.go.id/sso.php',
 *         'post_logout_redirect_uri' => 'https://antrean.example.go.id/',
 *         'data_dir' => '/var/lib/antrean/sso',  // outside of the web root; only this program can read it
 *     ));
 *     $user = $sso->requireLogin();              // in every page that needs a user
 *
 * The page of the redirect URI calls $sso->handle(). The README lists every option and method.
 */

class SsoException extends Exception
{
    /** @var string error code, such as access_denied, invalid_state or provider_unavailable */
    public $error;

    public function __construct($error, $message)
    {
        parent::__construct($message);
        $this->error = $error;
    }
}

/** Keeps what belongs to a browser in the session of PHP. A framework gives a class with the same methods. */
class SsoPhpSession
{
    public function start()
    {
        if (session_status() === PHP_SESSION_ACTIVE) {
            return;
        }
        if (!headers_sent()) {
            ini_set('session.use_strict_mode', '1');
            ini_set('session.use_only_cookies', '1');
            $now = session_get_cookie_params();
            $secure = $now['secure'] || (!empty($_SERVER['HTTPS']) && $_SERVER['HTTPS'] !== 'off');
            if (PHP_VERSION_ID >= 70300) {
                session_set_cookie_params(array(
                    'lifetime' => $now['lifetime'], 'path' => $now['path'], 'domain' => $now['domain'],
                    'secure' => $secure, 'httponly' => true, 'samesite' => 'Lax',
                ));
            } else {
                session_set_cookie_params($now['lifetime'], $now['path'] . '; samesite=Lax', $now['domain'], $secure, true);
            }
        }
        session_start();
    }

    public function get($name)
    {
        $this->start();
        return isset($_SESSION[$name]) ? $_SESSION[$name] : null;
    }

    public function set($name, $value)
    {
        $this->start();
        if ($value === null) {
            unset($_SESSION[$name]);
        } else {
            $_SESSION[$name] = $value;
        }
    }

    /** Give the session a new id, so that an id from before the sign-in is worth nothing. */
    public function renew()
    {
        $this->start();
        session_regenerate_id(true);
    }

    /** Return the id under which destroy() finds this session later. */
    public function id()
    {
        $this->start();
        return session_id();
    }

    /** End a session: this one (null), or that of another browser. */
    public function destroy($id = null)
    {
        if ($id === null) {
            $this->start();
            if (headers_sent()) { // too late for a new cookie: the session stays, and is empty
                $_SESSION = array();
                return;
            }
        } else {
            if (session_status() === PHP_SESSION_ACTIVE && empty($_COOKIE[session_name()])) {
                session_destroy(); // the one that was begun for this notice, which comes from no browser
            } elseif (session_status() === PHP_SESSION_ACTIVE) {
                session_write_close();
            }
            ini_set('session.use_strict_mode', '0');
            ini_set('session.use_cookies', '0');
            session_id($id);
            session_start();
        }
        $_SESSION = array();
        session_destroy();
        ini_set('session.use_cookies', '1');
    }
}

/** Keeps keys of the provider, and which sessions ended, in files of one directory. */
class SsoFiles
{
    private $directory;

    public function __construct($directory)
    {
        if (!is_dir($directory) && !@mkdir($directory, 0700, true) && !is_dir($directory)) {
            throw new SsoException('configuration', "data_dir: cannot create the directory $directory. Create it, and let the web server write to it.");
        }
        if (!is_writable($directory)) {
            throw new SsoException('configuration', "data_dir: the web server cannot write to $directory.");
        }
        $mode = fileperms($directory);
        if (DIRECTORY_SEPARATOR === '/' && ($mode & 0007)) {
            throw new SsoException('configuration', "data_dir: other users of this computer can use $directory. Run: chmod o-rwx $directory");
        }
        $this->directory = rtrim($directory, '/\\');
    }

    private function path($kind, $name)
    {
        return $this->directory . '/' . $kind . '-' . hash('sha256', $name) . '.json';
    }

    /** Return what was kept, or null. $seconds: how old it may be. */
    public function read($kind, $name, $seconds = null)
    {
        $path = $this->path($kind, $name);
        $text = @file_get_contents($path);
        if ($text === false) {
            return null;
        }
        $kept = json_decode($text, true);
        if (!is_array($kept) || !isset($kept['at'])) {
            return null;
        }
        return $seconds !== null && $kept['at'] + $seconds < time() ? null : $kept['value'];
    }

    public function write($kind, $name, $value)
    {
        $path = $this->path($kind, $name);
        $new = $path . '.' . bin2hex(SsoClient::randomBytes(6));
        $text = json_encode(array('at' => time(), 'value' => $value));
        $mask = umask(0077);
        $written = @file_put_contents($new, $text, LOCK_EX) === strlen($text) && @rename($new, $path);
        umask($mask);
        if (!$written) {
            @unlink($new);
            throw new SsoException('configuration', "data_dir: cannot write to {$this->directory}. Is the disk full?");
        }
    }

    /** Create a file that must not exist. Return whether it did not. */
    public function claim($kind, $name)
    {
        $mask = umask(0077);
        $file = @fopen($this->path($kind, $name), 'x');
        umask($mask);
        if ($file === false) {
            return false;
        }
        fwrite($file, json_encode(array('at' => time(), 'value' => true)));
        fclose($file);
        return true;
    }

    public function delete($kind, $name)
    {
        @unlink($this->path($kind, $name));
    }

    /** Change a kept value while nobody else does. $change: a function of the present value that returns the new one. */
    public function change($kind, $name, $change)
    {
        $lock = fopen($this->directory . '/lock', 'c');
        flock($lock, LOCK_EX);
        $value = call_user_func($change, $this->read($kind, $name));
        if ($value === null) {
            $this->delete($kind, $name);
        } else {
            $this->write($kind, $name, $value);
        }
        flock($lock, LOCK_UN);
        fclose($lock);
        return $value;
    }

    /** Delete files that are older than a number of seconds. */
    public function deleteOld($seconds)
    {
        foreach (glob($this->directory . '/*.json*') ?: array() as $path) {
            if (@filemtime($path) < time() - $seconds) {
                @unlink($path);
            }
        }
    }
}

class SsoClient
{
    const LEEWAY = 60;
    const PENDING_SECONDS = 3600;
    const MAX_PENDING = 10;
    const OUTAGE_SECONDS = 900; // how long a signed-in user is trusted at least while the provider does not answer
    const MAX_BYTES = 1000000;
    const LOGOUT_EVENT = 'http://schemas.openid.net/event/backchannel-logout';

    /** What users see where `ui_locales` is `id`, by error code or by the English text. */
    private static $indonesian = array(
        'login_required' => 'Masuk, lalu kirim lagi.',
        'access_denied' => 'Anda tidak berhak membuka halaman ini.',
        'invalid_request' => 'Permintaan ini tidak dapat diproses. Untuk keluar, pakai tombol Keluar.',
        'invalid_state' => 'Proses masuk ini tidak dimulai di browser ini, atau terlalu lama. Mulai lagi.',
        'provider_unavailable' => 'Layanan masuk tidak dapat dihubungi. Coba lagi nanti.',
        'unknown_user' => 'Anda belum punya akun di aplikasi ini. Hubungi administrator aplikasi.',
        'ambiguous_user' => 'Akun Anda tidak dapat dicocokkan dengan satu pengguna saja. Hubungi administrator aplikasi.',
        'Sign-in' => 'Masuk',
        'Start page' => 'Halaman awal',
        'Local sign-in' => 'Masuk lokal',
        'Password' => 'Kata sandi',
        'Sign in' => 'Masuk',
        'The password is wrong.' => 'Kata sandi salah.',
        'Too many tries. Wait 15 minutes.' => 'Terlalu banyak percobaan. Tunggu 15 menit.',
    );

    private $config;
    private $files;
    private $session;

    /**
     * @param array $config   issuer, client_id, client_secret, redirect_uri, data_dir, and what the README lists
     * @param object $session what keeps the data of a browser: SsoPhpSession, or a class with its methods
     * @throws SsoException   when an option is missing or unknown
     */
    public function __construct(array $config, $session = null)
    {
        $defaults = array(
            'issuer' => null, 'client_id' => null, 'client_secret' => '', 'redirect_uri' => null,
            'post_logout_redirect_uri' => '', 'data_dir' => null, 'scope' => 'openid profile email',
            'acr_values' => '', 'ui_locales' => '', 'timeout' => 10, 'ca_file' => '',
            'session_seconds' => 43200, 'recheck_seconds' => 300, 'logout_by_link' => false,
            'local_door' => null, 'session_name' => 'sso', 'home' => '/',
        );
        $unknown = array_diff(array_keys($config), array_keys($defaults));
        if ($unknown) {
            throw new SsoException('configuration', 'Unknown option: ' . implode(', ', $unknown));
        }
        $this->config = array_merge($defaults, $config);
        foreach (array('issuer', 'client_id', 'redirect_uri', 'data_dir') as $name) {
            if (!is_string($this->config[$name]) || $this->config[$name] === '') {
                throw new SsoException('configuration', "The option $name is missing.");
            }
        }
        if (!self::isSafeUrl($this->config['issuer'])) {
            throw new SsoException('configuration', 'issuer: must begin with https://');
        }
        $this->files = new SsoFiles($this->config['data_dir']);
        $this->session = $session ? $session : new SsoPhpSession();
    }

    // ---- What pages call ----------------------------------------------------------------------------------------

    /**
     * Return the user, or send the browser to sign in and end the request. A request that is no page (fetch, XHR) or
     * that sends data gets the status 401 instead, because a redirect would lose what was sent.
     *
     * @return array the claims of the user, such as sub, name, email and roles
     */
    public function requireLogin()
    {
        $user = $this->user();
        if ($user !== null) {
            return $user;
        }
        $this->send($this->challenge($_SERVER));
    }

    /**
     * Return the user only if the user has a role of this application, else show an error page (403).
     *
     * @param string $role the name of the role
     * @param string|null $unit the code of a unit, for a role that is limited to one
     */
    public function requireRole($role, $unit = null)
    {
        $user = $this->requireLogin();
        if (!self::hasRole($user, $role, $unit)) {
            $this->send($this->refusal($_SERVER, $role));
        }
        return $user;
    }

    /**
     * Tell whether a user has a role. A role that is limited to a unit counts for this unit only.
     *
     * @param array $user the claims of the user
     * @param string $role the name of the role
     * @param string|null $unit the code of a unit
     * @return bool
     */
    public static function hasRole($user, $role, $unit = null)
    {
        $roles = isset($user['roles']) && is_array($user['roles']) ? $user['roles'] : array();
        return in_array($role, $roles, true) || ($unit !== null && in_array("$role@$unit", $roles, true));
    }

    /**
     * Return the claims of the signed-in user, or null. Every `recheck_seconds` the provider is asked whether the user
     * is still signed in and which roles the user has.
     *
     * @return array|null
     */
    public function user()
    {
        $kept = $this->session->get($this->config['session_name']);
        if (!is_array($kept) || !isset($kept['user'])) {
            return null;
        }
        if ($kept['began'] + $this->config['session_seconds'] < time() || $this->hasEnded($kept)) {
            $this->forget($kept);
            return null;
        }
        if (empty($kept['local']) && $kept['id'] !== $this->session->id()) { // a framework renews it now and then
            $kept = $this->register($kept);
        }
        if (empty($kept['local']) && $kept['checked'] + $this->config['recheck_seconds'] < time()) {
            return $this->checkAgain($kept);
        }
        return $kept['user'];
    }

    /** Answer a request for the redirect URI: the return from the sign-in, a logout, or a notice of the provider. */
    public function handle()
    {
        $this->send($this->answer($_GET, $_POST, $_SERVER));
    }

    // ---- Steps, for frameworks: they return values and send nothing ---------------------------------------------

    /**
     * Return the answer to a request for the redirect URI: the start of a sign-in, the return from it, a logout, the local
     * door, or a notice of the provider.
     *
     * @param array $query  the parameters of the address ($_GET)
     * @param array $form   the fields of the body ($_POST)
     * @param array $server what PHP says about the request ($_SERVER); of it REMOTE_ADDR, REQUEST_METHOD and headers
     * @return array status, headers (name => value) and body
     */
    public function answer(array $query, array $form, array $server)
    {
        $action = isset($query['sso']) ? $query['sso'] : '';
        try {
            if (isset($form['logout_token'])) {
                return $this->answerNotice($form['logout_token']);
            }
            if ($action === 'logout') {
                return $this->answerLogout($form);
            }
            if ($action === 'local') {
                return $this->answerLocalDoor($form, $server);
            }
            if (isset($query['state']) || isset($query['code']) || isset($query['error'])) {
                return self::redirection($this->finish($query));
            }
            return self::redirection($this->loginUrl(isset($query['return_to']) ? $query['return_to'] : $this->config['home']));
        } catch (SsoException $error) {
            return $this->failure($server, $error);
        }
    }

    /**
     * Return the answer to a request of somebody who is not signed in: to a page a redirect, to everything else 401,
     * because a redirect would lose what was sent.
     *
     * @param array $server what PHP says about the request ($_SERVER)
     * @return array status, headers and body
     */
    public function challenge(array $server)
    {
        if (!self::isPageRequest($server)) {
            return $this->errorAnswer($server, 401, 'login_required', 'Sign in, and send this again.');
        }
        try {
            return self::redirection($this->loginUrl(isset($server['REQUEST_URI']) ? $server['REQUEST_URI'] : $this->config['home']));
        } catch (SsoException $error) {
            return $this->failure($server, $error);
        }
    }

    /** Return the answer (403) to a user who lacks a role. */
    public function refusal(array $server, $role)
    {
        return $this->errorAnswer($server, 403, 'access_denied', "You need the role $role for this page.");
    }

    /** Return the answer that tells a user of an error. */
    public function failure(array $server, SsoException $error)
    {
        $denied = in_array($error->error, array('access_denied', 'unknown_user', 'ambiguous_user', 'local_user'), true);
        $status = $denied ? 403 : ($error->error === 'provider_unavailable' ? 503 : 400);
        return $this->errorAnswer($server, $status, $error->error, $error->getMessage());
    }

    /** Send an answer, and end the request. */
    public function send(array $answer)
    {
        http_response_code($answer['status']);
        foreach ($answer['headers'] as $name => $value) {
            header("$name: $value");
        }
        echo $answer['body'];
        exit;
    }

    /**
     * Begin a sign-in and return the URL to send the browser to (OpenID Connect Core 3.1.2.1, RFC 7636).
     *
     * @param string $returnTo a path of this program where the user goes on afterwards
     * @param array $more more parameters, such as array('prompt' => 'login')
     * @return string
     */
    public function loginUrl($returnTo = '/', array $more = array())
    {
        $state = self::base64url(self::randomBytes(24));
        $trial = array(
            'nonce' => self::base64url(self::randomBytes(24)),
            'verifier' => self::base64url(self::randomBytes(48)),
            'return_to' => self::localPath($returnTo),
            'at' => time(),
        );
        $pending = $this->pending();
        $pending[$state] = $trial;
        $this->session->set($this->config['session_name'] . '_pending', array_slice($pending, -self::MAX_PENDING, null, true));
        $parameters = array(
            'response_type' => 'code',
            'client_id' => $this->config['client_id'],
            'redirect_uri' => $this->config['redirect_uri'],
            'scope' => $this->config['scope'],
            'state' => $state,
            'nonce' => $trial['nonce'],
            'code_challenge' => self::base64url(hash('sha256', $trial['verifier'], true)),
            'code_challenge_method' => 'S256',
            'acr_values' => $this->config['acr_values'],
            'ui_locales' => $this->config['ui_locales'],
        );
        return self::withQuery($this->endpoint('authorization_endpoint'), array_filter(array_merge($parameters, $more), 'strlen'));
    }

    /**
     * Finish a sign-in with the parameters that the browser brought back, and keep the user in the session.
     *
     * @param array $query the query of the redirect URI
     * @return string the path where the user goes on
     * @throws SsoException when the answer is not right, or the provider refused
     */
    public function finish(array $query)
    {
        $pending = $this->pending();
        $state = isset($query['state']) && is_string($query['state']) ? $query['state'] : '';
        if (!isset($pending[$state])) {
            throw new SsoException('invalid_state', 'This sign-in was not begun in this browser, or took too long. Begin again.');
        }
        $trial = $pending[$state];
        unset($pending[$state]);
        $this->session->set($this->config['session_name'] . '_pending', $pending ? $pending : null);
        $this->checkIssuer($query);
        if (isset($query['error'])) {
            $text = isset($query['error_description']) ? $query['error_description'] : '';
            throw new SsoException(self::text($query['error']), self::text($text));
        }
        if (!isset($query['code']) || !is_string($query['code'])) {
            throw new SsoException('invalid_response', 'The provider sent no code.');
        }
        $tokens = $this->tokens(array(
            'grant_type' => 'authorization_code',
            'code' => $query['code'],
            'redirect_uri' => $this->config['redirect_uri'],
            'code_verifier' => $trial['verifier'],
        ));
        if (!isset($tokens['id_token'])) {
            throw new SsoException('invalid_response', 'The provider sent no ID token.');
        }
        $claims = $this->verifyIdToken($tokens['id_token'], $trial['nonce'], $tokens['access_token']);
        $user = $this->userOf($claims, $tokens['access_token']);
        $this->keep($user, $claims, $tokens);
        return $trial['return_to'];
    }

    /**
     * End the session of this browser here, and return the URL that ends it at the provider
     * (OpenID Connect RP-Initiated Logout).
     *
     * @return string
     */
    public function logoutUrl()
    {
        $kept = $this->session->get($this->config['session_name']);
        $hint = is_array($kept) && isset($kept['id_token']) ? $kept['id_token'] : '';
        $this->forget($kept);
        return self::withQuery($this->endpoint('end_session_endpoint'), array_filter(array(
            'id_token_hint' => $hint,
            'client_id' => $this->config['client_id'],
            'post_logout_redirect_uri' => $this->config['post_logout_redirect_uri'],
        ), 'strlen'));
    }

    /**
     * End the sessions that a logout token names (OpenID Connect Back-Channel Logout 1.0 sections 2.5 to 2.7).
     *
     * @param string $token the logout token
     * @throws SsoException when the token is not right
     */
    public function endSessions($token)
    {
        $claims = $this->verify($token);
        $events = isset($claims['events']) && is_array($claims['events']) ? $claims['events'] : array();
        $sid = isset($claims['sid']) && is_string($claims['sid']) ? $claims['sid'] : '';
        $sub = isset($claims['sub']) && is_string($claims['sub']) ? $claims['sub'] : '';
        if (!array_key_exists(self::LOGOUT_EVENT, $events) || array_key_exists('nonce', $claims) || ($sid === '' && $sub === '')) {
            throw new SsoException('invalid_request', 'This is not a logout token.');
        }
        if (!isset($claims['jti']) || !is_string($claims['jti']) || !$this->files->claim('jti', $claims['jti'])) {
            throw new SsoException('invalid_request', 'This logout token was used before.');
        }
        try {
            $this->files->write('ended', $sid !== '' ? "sid $sid" : "sub $sub", time());
            foreach ($this->takeSessions($sub, $sid) as $id) {
                $this->session->destroy($id);
            }
        } catch (Exception $error) {
            $this->files->delete('jti', $claims['jti']); // so that the provider can send it again
            throw $error;
        }
        $this->files->deleteOld($this->config['session_seconds'] + 86400);
    }

    /**
     * Return an access token that is valid now, for requests to other services; null where there is none.
     *
     * @return string|null
     */
    public function accessToken()
    {
        $kept = $this->session->get($this->config['session_name']);
        if (!is_array($kept) || empty($kept['access_token']) || $this->hasEnded($kept)) {
            return null;
        }
        if ($kept['expires'] > time() + 30) {
            return $kept['access_token'];
        }
        $kept = $this->refreshed($kept);
        return $kept === null ? null : $kept['access_token'];
    }

    /**
     * Return the row of a user in the table that the program had before.
     *
     * In this order: by the number that the import gave (local_user_id), by NIP, by verified e-mail address. A claim
     * that the provider does not vouch for is not used. More than one row is an error: somebody else must not get in.
     *
     * @param array $user the claims of the user
     * @param PDO $database where the table is
     * @param string $table its name
     * @param array $columns claim => column, of local_user_id, nip and email
     * @return array|null
     * @throws SsoException when more than one row fits
     */
    public static function findLocalUser(array $user, $database, $table, array $columns)
    {
        foreach (array_merge(array($table), array_values($columns)) as $name) {
            if (!preg_match('/^[A-Za-z_][A-Za-z0-9_]*$/D', $name)) {
                throw new SsoException('configuration', "$name is not the name of a table or column.");
            }
        }
        return self::matchLocalUser($user, $columns, function ($column, $value) use ($database, $table) {
            $statement = $database->prepare("SELECT * FROM $table WHERE $column = ?");
            $statement->execute(array($value));
            return $statement->fetchAll(PDO::FETCH_ASSOC);
        });
    }

    /**
     * Return the user that the program had before, as findLocalUser does, wherever the program keeps its users.
     *
     * With a column for `sub` that is looked at first. Who is linked to another sub already is not found by anything else.
     *
     * @param array $user the claims of the user
     * @param array $columns claim => column, of sub, local_user_id, nip and email
     * @param callable $find a function of column and value that returns the rows (arrays, or objects with ArrayAccess)
     * @return array|object|null
     * @throws SsoException when more than one row fits
     */
    public static function matchLocalUser(array $user, array $columns, $find)
    {
        foreach (array('sub', 'local_user_id', 'nip', 'email') as $claim) {
            $usable = isset($columns[$claim]) && isset($user[$claim]) && is_string($user[$claim]) && $user[$claim] !== '';
            if (!$usable || ($claim === 'email' && (!isset($user['email_verified']) || $user['email_verified'] !== true))) {
                continue;
            }
            $column = $columns[$claim];
            $rows = array();
            foreach (call_user_func($find, $column, $user[$claim]) as $row) { // a database may find é for e
                $kept = (string) $row[$column];
                $same = $claim === 'email' ? strtolower($kept) === strtolower($user[$claim]) : $kept === $user[$claim];
                if ($same) {
                    $rows[] = $row;
                }
            }
            if (count($rows) > 1) {
                throw new SsoException('ambiguous_user', "More than one user has the same $column. Ask the administrator of this program.");
            }
            if ($rows) {
                $linked = isset($columns['sub']) ? (string) $rows[0][$columns['sub']] : '';
                if ($linked !== '' && $linked !== (isset($user['sub']) ? $user['sub'] : '')) {
                    throw new SsoException('ambiguous_user', 'This user of the program is linked to another account. Ask the administrator of this program.');
                }
                return $rows[0];
            }
        }
        return null;
    }

    /** Return a token that a form sends back as the field csrf, so that no other site can send the form. */
    public function csrfToken()
    {
        $token = $this->session->get($this->config['session_name'] . '_csrf');
        if (!is_string($token)) {
            $token = self::base64url(self::randomBytes(24));
            $this->session->set($this->config['session_name'] . '_csrf', $token);
        }
        return $token;
    }

    /** Return a form with a button that signs out. $text: the text of the button. */
    public function logoutForm($text = 'Keluar')
    {
        $action = self::html(self::withQuery($this->config['redirect_uri'], array('sso' => 'logout')));
        return "<form method=\"post\" action=\"$action\"><input type=\"hidden\" name=\"csrf\" value=\"{$this->csrfToken()}\">"
            . '<button>' . self::html($text) . '</button></form>';
    }

    // ---- The session --------------------------------------------------------------------------------------------

    private function pending()
    {
        $pending = $this->session->get($this->config['session_name'] . '_pending');
        $oldest = time() - self::PENDING_SECONDS;
        return array_filter(is_array($pending) ? $pending : array(), function ($trial) use ($oldest) {
            return $trial['at'] >= $oldest;
        });
    }

    private function keep(array $user, array $claims, array $tokens)
    {
        $this->session->renew();
        $kept = array(
            'user' => $user,
            'sub' => $claims['sub'],
            'sid' => isset($claims['sid']) ? $claims['sid'] : '',
            'id_token' => $tokens['id_token'],
            'began' => time(),
            'checked' => time(),
        );
        $this->register($this->withTokens($kept, $tokens));
        $this->session->set($this->config['session_name'] . '_csrf', null);
        $this->files->write('subject', $kept['sid'], $kept['sub']);
    }

    /** Keep under which id the session is found when the provider ends it. */
    private function register(array $kept)
    {
        $before = isset($kept['id']) ? $kept['id'] : null;
        $id = $kept['id'] = $this->session->id();
        $this->session->set($this->config['session_name'], $kept);
        $sid = $kept['sid'];
        $this->files->change('sessions', $kept['sub'], function ($known) use ($sid, $id, $before) {
            $others = array_filter(is_array($known) ? $known : array(), function ($entry) use ($before) {
                return $entry[1] !== $before;
            });
            $others[] = array($sid, $id, time());
            return array_slice(array_values($others), -50);
        });
        return $kept;
    }

    private function withTokens(array $kept, array $tokens)
    {
        $kept['access_token'] = $tokens['access_token'];
        $kept['expires'] = time() + (isset($tokens['expires_in']) ? (int) $tokens['expires_in'] : 60);
        if (isset($tokens['refresh_token'])) {
            $kept['refresh_token'] = $tokens['refresh_token'];
        }
        return $kept;
    }

    /** Return the ids of the sessions of a user, or of one session at the provider, and forget them. */
    private function takeSessions($sub, $sid)
    {
        if ($sub === '') {
            $sub = (string) $this->files->read('subject', $sid);
        }
        $ids = array();
        $this->files->change('sessions', $sub, function ($known) use ($sid, &$ids) {
            $left = array();
            foreach (is_array($known) ? $known : array() as $entry) {
                if ($sid === '' || $entry[0] === $sid) {
                    $ids[] = $entry[1];
                } else {
                    $left[] = $entry;
                }
            }
            return $left ? $left : null;
        });
        return $ids;
    }

    /** Tell whether the provider ended this session. Also where the session handler of PHP could not delete it. */
    private function hasEnded(array $kept)
    {
        if (!empty($kept['local'])) {
            return false;
        }
        $bySubject = $this->files->read('ended', 'sub ' . $kept['sub']);
        return $this->files->read('ended', 'sid ' . $kept['sid']) !== null || ($bySubject !== null && $bySubject >= $kept['began']);
    }

    /** End the session here, with everything that the program kept in it. */
    private function forget($kept)
    {
        $this->session->destroy(); // first: a full disk must not keep anybody signed in
        if (is_array($kept) && isset($kept['sub'], $kept['id'])) { // the program may use the id again: the notice is not for it
            $id = $kept['id'];
            $this->files->change('sessions', $kept['sub'], function ($known) use ($id) {
                $others = array_filter(is_array($known) ? $known : array(), function ($entry) use ($id) {
                    return $entry[1] !== $id;
                });
                return $others ? array_values($others) : null;
            });
        }
    }

    private function checkAgain(array $kept)
    {
        try {
            if ($kept['expires'] <= time() + 30) {
                $kept = $this->refreshed($kept);
                if ($kept === null) {
                    return null;
                }
            }
            $claims = array('sub' => $kept['sub']);
            $kept['user'] = $this->userOf(array_merge($this->protocolClaims($kept['user']), $claims), $kept['access_token']);
        } catch (SsoException $error) {
            if ($error->error === 'provider_unavailable') { // asked again with the next request, and trusted for a while
                $trusted = max(self::OUTAGE_SECONDS, 3 * $this->config['recheck_seconds']);
                return $kept['checked'] + $trusted < time() ? null : $kept['user'];
            }
            $this->forget($kept);
            return null;
        }
        $kept['checked'] = time();
        $this->session->set($this->config['session_name'], $kept);
        return $kept['user'];
    }

    private function protocolClaims(array $user)
    {
        return array_intersect_key($user, array_flip(array('iss', 'aud', 'acr', 'amr', 'auth_time', 'sid')));
    }

    /** Return what is kept with new tokens; null when the provider ended the session. */
    private function refreshed(array $kept)
    {
        if (empty($kept['refresh_token'])) {
            $this->forget($kept);
            return null;
        }
        try {
            $tokens = $this->tokens(array('grant_type' => 'refresh_token', 'refresh_token' => $kept['refresh_token']));
            if (isset($tokens['id_token'])) {
                $claims = $this->verify($tokens['id_token']);
                if (!isset($claims['sub']) || $claims['sub'] !== $kept['sub']) {
                    throw new SsoException('invalid_response', 'The new ID token is of another user.');
                }
                $kept['id_token'] = $tokens['id_token'];
            }
        } catch (SsoException $error) {
            if ($error->error === 'provider_unavailable') {
                throw $error;
            }
            $this->forget($kept);
            return null;
        }
        $kept = $this->withTokens($kept, $tokens);
        $this->session->set($this->config['session_name'], $kept);
        return $kept;
    }

    // ---- The provider -------------------------------------------------------------------------------------------

    private function endpoint($name)
    {
        $document = $this->discovery();
        if (!isset($document[$name]) || !self::isSafeUrl($document[$name])) {
            throw new SsoException('provider_unavailable', "The provider has no $name.");
        }
        return $document[$name];
    }

    private function discovery()
    {
        $issuer = $this->config['issuer'];
        $document = $this->files->read('discovery', $issuer, 3600);
        if ($document !== null) {
            return $document;
        }
        try {
            $document = $this->fetch(rtrim($issuer, '/') . '/.well-known/openid-configuration');
        } catch (SsoException $error) {
            $document = $this->files->read('discovery', $issuer);
            if ($document === null) {
                throw $error;
            }
            return $document;
        }
        if (!isset($document['issuer']) || $document['issuer'] !== $issuer) {
            throw new SsoException('configuration', "issuer: the provider calls itself by another name. Write it exactly so: " . (isset($document['issuer']) ? self::text($document['issuer']) : '?'));
        }
        $this->files->write('discovery', $issuer, $document);
        return $document;
    }

    /** Return the key with an id. A key that is not known yet is fetched, at most once in 30 seconds. */
    private function key($kid)
    {
        $url = $this->endpoint('jwks_uri');
        $keys = $this->files->read('keys', $url, 86400);
        $key = $keys === null ? null : self::keyOf($keys, $kid);
        if ($key === null && ($keys === null || $this->files->read('asked', $url, 30) === null)) {
            $this->files->write('asked', $url, true);
            $document = $this->fetch($url);
            $keys = isset($document['keys']) && is_array($document['keys']) ? $document['keys'] : array();
            $this->files->write('keys', $url, $keys);
            $key = self::keyOf($keys, $kid);
        }
        if ($key === null) {
            throw new SsoException('invalid_token', 'The token is signed with a key that the provider does not publish.');
        }
        return $key;
    }

    private static function keyOf(array $keys, $kid)
    {
        foreach ($keys as $key) {
            if (is_array($key) && isset($key['kid']) && $key['kid'] === $kid && (!isset($key['use']) || $key['use'] === 'sig')) {
                return $key;
            }
        }
        return null;
    }

    private function tokens(array $fields)
    {
        $headers = array();
        if ($this->config['client_secret'] !== '' && $this->config['client_secret'] !== false) {
            $pair = urlencode($this->config['client_id']) . ':' . urlencode($this->config['client_secret']);
            $headers[] = 'Authorization: Basic ' . base64_encode($pair);
        } else {
            $fields['client_id'] = $this->config['client_id'];
        }
        $answer = $this->fetch($this->endpoint('token_endpoint'), $fields, $headers);
        if (!isset($answer['access_token']) || !is_string($answer['access_token'])) {
            throw new SsoException('invalid_response', 'The provider sent no access token.');
        }
        return $answer;
    }

    private function userOf(array $claims, $accessToken)
    {
        $more = $this->fetch($this->endpoint('userinfo_endpoint'), null, array("Authorization: Bearer $accessToken"));
        if (!isset($more['sub']) || $more['sub'] !== $claims['sub']) {
            throw new SsoException('invalid_response', 'The data are of another user.'); // OpenID Connect Core 5.3.2
        }
        return array_merge($claims, $more);
    }

    /** Send a request and return the JSON object that was answered. $fields: of a form; null for GET. */
    private function fetch($url, $fields = null, array $headers = array())
    {
        if (!self::isSafeUrl($url)) {
            throw new SsoException('configuration', "$url must begin with https://");
        }
        $body = '';
        $curl = curl_init($url);
        curl_setopt_array($curl, array(
            CURLOPT_HTTPHEADER => array_merge(array('Accept: application/json', 'Expect:'), $headers),
            CURLOPT_CONNECTTIMEOUT => min(5, $this->config['timeout']),
            CURLOPT_TIMEOUT => $this->config['timeout'],
            CURLOPT_FOLLOWLOCATION => false,
            CURLOPT_SSL_VERIFYPEER => true,
            CURLOPT_SSL_VERIFYHOST => 2,
            CURLOPT_PROTOCOLS => CURLPROTO_HTTPS | CURLPROTO_HTTP,
            CURLOPT_USERAGENT => 'SsoClient',
            CURLOPT_WRITEFUNCTION => function ($handle, $part) use (&$body) {
                $body .= $part;
                return strlen($body) > SsoClient::MAX_BYTES ? 0 : strlen($part);
            },
        ));
        if ($this->config['ca_file'] !== '') {
            curl_setopt($curl, CURLOPT_CAINFO, $this->config['ca_file']);
        }
        if ($fields !== null) {
            curl_setopt($curl, CURLOPT_POSTFIELDS, http_build_query($fields, '', '&'));
        }
        $done = curl_exec($curl);
        $status = curl_getinfo($curl, CURLINFO_HTTP_CODE);
        $problem = curl_error($curl);
        unset($curl);
        if ($done === false || $status === 0 || $status >= 500 || $status === 429) {
            error_log("SsoClient: $url: status $status $problem");
            throw new SsoException('provider_unavailable', 'The sign-in service does not answer now. Try again later.');
        }
        $answer = json_decode($body, true);
        if ($status !== 200) {
            $error = is_array($answer) && isset($answer['error']) ? self::text($answer['error']) : "status $status";
            $text = is_array($answer) && isset($answer['error_description']) ? self::text($answer['error_description']) : '';
            error_log("SsoClient: $url: $error $text");
            throw new SsoException($error, $text !== '' ? $text : "The provider answered with $error.");
        }
        if (!is_array($answer)) {
            throw new SsoException('invalid_response', "The answer of $url is not JSON.");
        }
        return $answer;
    }

    // ---- Tokens -------------------------------------------------------------------------------------------------

    /** RFC 9207: the answer names the provider that it is from. */
    private function checkIssuer(array $query)
    {
        $document = $this->discovery();
        $required = !empty($document['authorization_response_iss_parameter_supported']);
        if (isset($query['iss']) ? $query['iss'] !== $this->config['issuer'] : $required) {
            throw new SsoException('invalid_issuer', 'The answer is not from the provider that was asked.');
        }
    }

    /** OpenID Connect Core section 3.1.3.7. */
    private function verifyIdToken($token, $nonce, $accessToken)
    {
        $claims = $this->verify($token);
        if (!isset($claims['nonce']) || !is_string($claims['nonce']) || !hash_equals($nonce, $claims['nonce'])) {
            throw new SsoException('invalid_token', 'The ID token is of another sign-in.');
        }
        if (!isset($claims['sub']) || !is_string($claims['sub']) || $claims['sub'] === '') {
            throw new SsoException('invalid_token', 'The ID token names no user.');
        }
        $half = self::base64url(substr(hash('sha256', $accessToken, true), 0, 16));
        if (isset($claims['at_hash']) && (!is_string($claims['at_hash']) || !hash_equals($half, $claims['at_hash']))) {
            throw new SsoException('invalid_token', 'The access token is not the one of the ID token.');
        }
        return $claims;
    }

    /** Return the claims of a token that the provider signed for this application and that is valid now. */
    private function verify($token)
    {
        $parts = is_string($token) && strlen($token) < 65536 ? explode('.', $token) : array();
        if (count($parts) !== 3) {
            throw new SsoException('invalid_token', 'This is not a signed token.');
        }
        $header = json_decode((string) self::unbase64url($parts[0]), true);
        $claims = json_decode((string) self::unbase64url($parts[1]), true);
        $signature = self::unbase64url($parts[2]);
        if (!is_array($header) || !is_array($claims) || $signature === null || !isset($header['alg'], $header['kid']) || isset($header['crit'])) {
            throw new SsoException('invalid_token', 'The token cannot be read.');
        }
        if (!is_string($header['kid']) || !self::signatureFits($header['alg'], $this->key($header['kid']), "$parts[0].$parts[1]", $signature)) {
            throw new SsoException('invalid_token', 'The signature of the token is wrong.');
        }
        $now = time();
        $audience = isset($claims['aud']) ? (array) $claims['aud'] : array();
        $party = isset($claims['azp']) ? $claims['azp'] : null;
        if (!isset($claims['iss']) || $claims['iss'] !== $this->config['issuer'] || !in_array($this->config['client_id'], $audience, true)) {
            throw new SsoException('invalid_token', 'The token is for another application.');
        }
        if (($party !== null || count($audience) > 1) && $party !== $this->config['client_id']) {
            throw new SsoException('invalid_token', 'The token is for another application.');
        }
        foreach (array('exp', 'iat') as $name) {
            if (!isset($claims[$name]) || !(is_int($claims[$name]) || is_float($claims[$name]))) {
                throw new SsoException('invalid_token', "The token has no $name.");
            }
        }
        if ($claims['exp'] + self::LEEWAY < $now || $claims['iat'] - self::LEEWAY > $now) {
            throw new SsoException('invalid_token', 'The token is not valid now. Is the clock of this server right?');
        }
        return $claims;
    }

    private static function signatureFits($alg, array $key, $text, $signature)
    {
        $type = isset($key['kty']) ? $key['kty'] : '';
        if (isset($key['alg']) && $key['alg'] !== $alg) {
            return false;
        }
        if ($alg === 'RS256' && $type === 'RSA' && isset($key['n'], $key['e'])) {
            $pem = self::rsaPem((string) self::unbase64url($key['n']), (string) self::unbase64url($key['e']));
        } elseif ($alg === 'ES256' && $type === 'EC' && isset($key['crv'], $key['x'], $key['y']) && $key['crv'] === 'P-256' && strlen($signature) === 64) {
            $pem = self::ecPem((string) self::unbase64url($key['x']), (string) self::unbase64url($key['y']));
            $signature = self::der(0x30, self::derInteger(substr($signature, 0, 32)) . self::derInteger(substr($signature, 32)));
        } else {
            return false;
        }
        $public = openssl_pkey_get_public($pem);
        return $public !== false && openssl_verify($text, $signature, $public, OPENSSL_ALGO_SHA256) === 1;
    }

    private static function rsaPem($modulus, $exponent)
    {
        $key = self::der(0x30, self::derInteger($modulus) . self::derInteger($exponent));
        $rsa = self::der(0x30, "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00");
        return self::pem(self::der(0x30, $rsa . self::der(0x03, "\x00" . $key)));
    }

    private static function ecPem($x, $y)
    {
        $curve = self::der(0x30, "\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07");
        $point = "\x04" . str_pad($x, 32, "\x00", STR_PAD_LEFT) . str_pad($y, 32, "\x00", STR_PAD_LEFT);
        return self::pem(self::der(0x30, $curve . self::der(0x03, "\x00" . $point)));
    }

    private static function der($tag, $content)
    {
        $length = strlen($content);
        if ($length < 128) {
            return chr($tag) . chr($length) . $content;
        }
        $bytes = ltrim(pack('N', $length), "\x00");
        return chr($tag) . chr(0x80 | strlen($bytes)) . $bytes . $content;
    }

    private static function derInteger($bytes)
    {
        $bytes = ltrim($bytes, "\x00");
        return self::der(0x02, $bytes === '' || (ord($bytes[0]) & 0x80) ? "\x00" . $bytes : $bytes);
    }

    private static function pem($der)
    {
        return "-----BEGIN PUBLIC KEY-----\n" . chunk_split(base64_encode($der), 64, "\n") . "-----END PUBLIC KEY-----\n";
    }

    // ---- Requests and answers -----------------------------------------------------------------------------------

    private function answerNotice($token)
    {
        try {
            $this->endSessions($token);
        } catch (SsoException $error) {
            $status = $error->error === 'provider_unavailable' ? 503 : 400;
            return self::json($status, 'invalid_request', $error->getMessage());
        }
        return self::answerOf(200, array());
    }

    private function answerLogout(array $form)
    {
        if (!$this->hasCsrfToken($form) && !$this->config['logout_by_link']) {
            throw new SsoException('invalid_request', 'Use the button to sign out.');
        }
        return self::redirection($this->logoutUrl());
    }

    private function hasCsrfToken(array $form)
    {
        return hash_equals($this->csrfToken(), isset($form['csrf']) && is_string($form['csrf']) ? $form['csrf'] : '');
    }

    /** A sign-in for administrators of this program while the provider does not answer. Off unless it is configured. */
    private function answerLocalDoor(array $form, array $server)
    {
        $door = $this->config['local_door'];
        $address = isset($server['REMOTE_ADDR']) ? $server['REMOTE_ADDR'] : '';
        if (!is_array($door) || empty($door['password_hash']) || !in_array($address, isset($door['addresses']) ? $door['addresses'] : array(), true)) {
            throw new SsoException('access_denied', 'There is no local sign-in here.');
        }
        $problem = '';
        if (isset($form['password']) && is_string($form['password'])) {
            $problem = $this->problemOfPassword($form, $door['password_hash']);
            error_log('SsoClient: ' . ($problem === '' ? '' : 'refused ') . "local sign-in from $address");
            if ($problem === '') {
                $this->keepLocal($door);
                return self::redirection($this->config['home']);
            }
        }
        return $this->page(200, 'Local sign-in', ($problem !== '' ? '<p role="alert">' . self::html($this->say($problem)) . '</p>' : '')
            . '<form method="post"><input type="hidden" name="csrf" value="' . $this->csrfToken() . '">'
            . '<label>' . $this->say('Password') . ' <input type="password" name="password" autocomplete="current-password"></label> <button>'
            . $this->say('Sign in') . '</button></form>');
    }

    private function problemOfPassword(array $form, $hash)
    {
        $tries = $this->files->change('door', 'tries', function ($kept) {
            $recent = array_filter(is_array($kept) ? $kept : array(), function ($at) {
                return $at > time() - 900;
            });
            $recent[] = time();
            return array_slice(array_values($recent), -20);
        });
        if (count($tries) > 5) {
            return 'Too many tries. Wait 15 minutes.';
        }
        return $this->hasCsrfToken($form) && password_verify($form['password'], $hash) ? '' : 'The password is wrong.';
    }

    private function keepLocal(array $door)
    {
        $this->session->renew();
        $user = array('sub' => 'local:administrator', 'name' => 'Administrator', 'roles' => isset($door['roles']) ? $door['roles'] : array());
        if (isset($door['local_user_id'])) {
            $user['local_user_id'] = (string) $door['local_user_id'];
        }
        $this->session->set($this->config['session_name'], array('user' => $user, 'local' => true, 'began' => time()));
        $this->files->delete('door', 'tries');
    }

    private static function isPageRequest(array $server)
    {
        $method = isset($server['REQUEST_METHOD']) ? $server['REQUEST_METHOD'] : 'GET';
        $mode = isset($server['HTTP_SEC_FETCH_MODE']) ? $server['HTTP_SEC_FETCH_MODE'] : 'navigate';
        $script = isset($server['HTTP_X_REQUESTED_WITH']) && strtolower($server['HTTP_X_REQUESTED_WITH']) === 'xmlhttprequest';
        return $method === 'GET' && $mode === 'navigate' && !$script;
    }

    private static function answerOf($status, array $headers, $body = '')
    {
        return array('status' => $status, 'headers' => $headers + array('Cache-Control' => 'no-store'), 'body' => $body);
    }

    private static function redirection($url)
    {
        return self::answerOf(303, array('Location' => $url));
    }

    private static function json($status, $error, $text)
    {
        $body = json_encode(array('error' => $error, 'error_description' => $text));
        return self::answerOf($status, array('Content-Type' => 'application/json'), $body);
    }

    private function errorAnswer(array $server, $status, $error, $text)
    {
        if (!self::isPageRequest($server)) {
            return self::json($status, $error, $text);
        }
        $home = self::html($this->config['home']);
        $shown = self::html($this->say($text, $error));
        return $this->page($status, 'Sign-in', "<p role=\"alert\">$shown</p><p><a href=\"$home\">" . $this->say('Start page') . '</a></p>');
    }

    private function isIndonesian()
    {
        return strncmp($this->config['ui_locales'], 'id', 2) === 0;
    }

    /** Return a text in the language of `ui_locales`. $error: the error code, for which there is a text of its own. */
    private function say($text, $error = '')
    {
        $key = isset(self::$indonesian[$error]) ? $error : $text;
        return $this->isIndonesian() && isset(self::$indonesian[$key]) ? self::$indonesian[$key] : $text;
    }

    private function page($status, $title, $body)
    {
        $language = $this->isIndonesian() ? 'id' : 'en';
        $title = self::html($this->say($title));
        return self::answerOf($status, array(
            'Content-Type' => 'text/html; charset=utf-8',
            'Content-Security-Policy' => "default-src 'none'; form-action 'self'; frame-ancestors 'none'",
        ), "<!doctype html><html lang=\"$language\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">"
            . "<title>$title</title><h1>$title</h1>$body</html>");
    }

    // ---- Small parts --------------------------------------------------------------------------------------------

    public static function randomBytes($count)
    {
        if (function_exists('random_bytes')) {
            return random_bytes($count);
        }
        $bytes = openssl_random_pseudo_bytes($count, $strong);
        if ($bytes === false || !$strong) {
            throw new SsoException('configuration', 'This PHP has no source of random numbers.');
        }
        return $bytes;
    }

    /** Return a path of this host: never the address of another one. */
    private static function localPath($path)
    {
        $isLocal = is_string($path) && preg_match('#^/(?![/\\\\])[^\x00-\x20\x7f\\\\]*$#D', $path);
        return $isLocal ? $path : '/';
    }

    private static function isSafeUrl($url)
    {
        $parts = is_string($url) ? parse_url($url) : false;
        if (!is_array($parts) || !isset($parts['scheme'], $parts['host'])) {
            return false;
        }
        $isLoopback = in_array($parts['host'], array('localhost', '127.0.0.1', '[::1]'), true);
        return $parts['scheme'] === 'https' || ($parts['scheme'] === 'http' && $isLoopback);
    }

    private static function withQuery($url, array $parameters)
    {
        return $url . (strpos($url, '?') === false ? '?' : '&') . http_build_query($parameters, '', '&', PHP_QUERY_RFC3986);
    }

    private static function text($value)
    {
        return is_string($value) ? substr(preg_replace('/[^\x20-\x7e]/', '?', $value), 0, 300) : '';
    }

    private static function html($text)
    {
        return htmlspecialchars($text, ENT_QUOTES, 'UTF-8');
    }

    private static function base64url($bytes)
    {
        return rtrim(strtr(base64_encode($bytes), '+/', '-_'), '=');
    }

    /** Return the bytes, or null where the text is not base64url without padding (RFC 7515 section 2). */
    private static function unbase64url($text)
    {
        if (!is_string($text) || preg_match('/[^A-Za-z0-9_-]/', $text)) {
            return null;
        }
        $bytes = base64_decode(strtr($text, '-_', '+/'), true);
        return $bytes === false ? null : $bytes;
    }
}
