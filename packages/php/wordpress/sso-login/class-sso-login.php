<?php

/** Connects WordPress and SsoClient. */
class Sso_Login
{
    const LINK_SECONDS = 900;
    const LINK_AGAIN = 'You are no longer signed in to this site. Sign in, and link again.';

    private $client;
    private $session;
    private $users;

    public function register()
    {
        $this->session = new Sso_Login_Session();
        $this->users = new Sso_Login_Users();
        (new Sso_Login_Settings())->register();
        add_action('init', array($this, 'checkSession'), 1);
        add_action('login_init', array($this, 'signInAtOnce'));
        add_action('login_form_sso', array($this, 'answer'));
        add_action('login_form', array($this, 'button'));
        add_filter('authenticate', array($this, 'refusePassword'), 100, 2);
        add_filter('allow_password_reset', array($this, 'mayUsePassword'), 10, 2);
        add_filter('wp_is_application_passwords_available_for_user', array($this, 'mayUseApplicationPassword'), 10, 2);
        add_action('wp_logout', array($this, 'endRoles'));
        add_filter('logout_redirect', array($this, 'logoutUrl'), 100);
        add_filter('allowed_redirect_hosts', array($this, 'allowProvider'));
        add_action('show_user_profile', array($this, 'profile'));
        add_action('admin_post_sso_login_link', array($this, 'beginLink'));
        add_action('admin_post_sso_login_confirm', array($this, 'confirmLink'));
    }

    private function client()
    {
        if ($this->client === null) {
            $this->client = new SsoClient(array(
                'issuer' => Sso_Login_Settings::get('issuer'),
                'client_id' => Sso_Login_Settings::get('client_id'),
                'client_secret' => SSO_LOGIN_CLIENT_SECRET,
                'redirect_uri' => Sso_Login_Settings::redirectUri(),
                'post_logout_redirect_uri' => home_url('/'),
                'scope' => Sso_Login_Settings::get('scope'),
                'data_dir' => SSO_LOGIN_DATA_DIR,
                'ui_locales' => strncmp(determine_locale(), 'id', 2) === 0 ? 'id' : '',
                'home' => wp_parse_url(home_url('/'), PHP_URL_PATH),
            ), $this->session);
        }
        return $this->client;
    }

    private function isReady()
    {
        return !Sso_Login_Settings::missing();
    }

    /** With every request: a session of WordPress that came from the provider is one only as long as the provider's. */
    public function checkSession()
    {
        $userId = get_current_user_id();
        if ($userId === 0) {
            return;
        }
        $token = wp_get_session_token();
        $tokens = WP_Session_Tokens::get_instance($userId);
        $kept = $token !== '' ? $tokens->get($token) : null;
        if (!is_array($kept) || empty($kept['sso_login'])) {
            Sso_Login_Users::takeRoles(wp_get_current_user()); // signed in with a password
            return;
        }
        $own = $this->isReady() && hash_equals($kept['sso_login'], hash('sha256', $this->session->id()));
        $claims = $own ? $this->client()->user() : null;
        if ($claims !== null) {
            $this->users->applyRoles(wp_get_current_user(), $claims); // so that they hold for this request already
            return;
        }
        $tokens->destroy($token);
        Sso_Login_Users::takeRoles(wp_get_current_user());
        wp_clear_auth_cookie();
        wp_set_current_user(0);
    }

    /** wp-login.php?action=sso: the redirect URI, the start of a sign-in, and the back-channel logout URI. */
    public function answer()
    {
        if (!$this->isReady()) {
            wp_die(esc_html(Sso_Login_Texts::get('The sign-in cannot be used yet:')), '', array('response' => 503));
        }
        $query = wp_unslash($_GET);
        $form = wp_unslash($_POST);
        $returns = !isset($form['logout_token'], $query['sso']) && (isset($query['code']) || isset($query['error']));
        $linking = $this->takeLink(isset($query['state']) && is_string($query['state']) ? $query['state'] : '');
        $answer = $this->client()->answer($query, $form, $_SERVER);
        if ($returns && $answer['status'] === 303) {
            $answer = $this->signIn($answer, $linking);
        }
        $this->client()->send($answer);
    }

    /** Return who began to link with this sign-in and when, and forget it; null: another sign-in. */
    private function takeLink($state)
    {
        $links = $this->session->get('links');
        if ($state === '' || !is_array($links) || !isset($links[$state])) {
            return null;
        }
        $link = $links[$state];
        unset($links[$state]);
        $this->session->set('links', $links ? $links : null);
        return $link;
    }

    private function isOfCurrentUser($link)
    {
        return is_array($link) && get_current_user_id() !== 0 && get_current_user_id() === $link[0] && $link[1] > time() - self::LINK_SECONDS;
    }

    private function signIn(array $answer, $linking)
    {
        $claims = $this->client()->user();
        try {
            if ($claims === null) {
                throw new SsoException('local_user', Sso_Login_Texts::get('This site has no account for you. Ask its administrator.'));
            }
            if ($linking !== null) {
                if (!$this->isOfCurrentUser($linking)) {
                    throw new SsoException('local_user', Sso_Login_Texts::get(self::LINK_AGAIN));
                }
                $this->session->set('confirm', array($linking[0], time(), $claims['sub']));
                return $answer; // to the page that asks
            }
            $user = $this->users->find($claims);
        } catch (SsoException $error) {
            $this->session->destroy();
            return $this->client()->failure($_SERVER, $error);
        }
        $this->users->applyRoles($user, $claims);
        $this->beginSession($user);
        return $answer;
    }

    private function beginSession(WP_User $user)
    {
        $before = wp_get_session_token();
        if ($before !== '' && get_current_user_id() !== 0) {
            WP_Session_Tokens::get_instance(get_current_user_id())->destroy($before);
            if (get_current_user_id() !== $user->ID) {
                Sso_Login_Users::takeRoles(wp_get_current_user());
            }
        }
        $id = hash('sha256', $this->session->id());
        $attach = function ($information) use ($id) {
            return array('sso_login' => $id) + $information;
        };
        add_filter('attach_session_information', $attach);
        $token = WP_Session_Tokens::get_instance($user->ID)->create(time() + 12 * HOUR_IN_SECONDS);
        remove_filter('attach_session_information', $attach);
        $this->session->set('wordpress', array($user->ID, $token));
        wp_set_auth_cookie($user->ID, false, is_ssl(), $token);
        do_action('wp_login', $user->user_login, $user);
    }

    private function startUrl($target)
    {
        $target = is_string($target) ? wp_validate_redirect($target, '') : '';
        $parts = $target !== '' ? wp_parse_url($target) : array();
        $path = isset($parts['path']) ? $parts['path'] . (isset($parts['query']) ? '?' . $parts['query'] : '') : '';
        $url = Sso_Login_Settings::redirectUri();
        return $path === '' ? $url : add_query_arg('return_to', rawurlencode($path), $url);
    }

    private function requested($name)
    {
        return isset($_REQUEST[$name]) && is_string($_REQUEST[$name]) ? wp_unslash($_REQUEST[$name]) : '';
    }

    /** The sign-in page leads to the provider at once, where that is set; wp-login.php?local=1 does not. */
    public function signInAtOnce()
    {
        $plain = in_array($this->requested('action'), array('', 'login'), true) && $_SERVER['REQUEST_METHOD'] === 'GET';
        $other = $this->requested('local') !== '' || $this->requested('loggedout') !== '' || $this->requested('interim-login') !== '';
        if ($plain && !$other && Sso_Login_Settings::get('automatic') && $this->isReady() && !is_user_logged_in()) {
            nocache_headers();
            wp_redirect($this->startUrl($this->requested('redirect_to')), 302);
            exit;
        }
    }

    public function button()
    {
        if ($this->isReady()) {
            echo '<p style="margin-bottom: 16px"><a class="button button-primary button-large" style="float: none" href="'
                . esc_url($this->startUrl($this->requested('redirect_to'))) . '">' . esc_html(Sso_Login_Texts::get('Sign in with the city account')) . '</a></p>';
        }
    }

    private function arePasswordsOpen()
    {
        return !Sso_Login_Settings::get('passwords') || !$this->isReady();
    }

    /**
     * A password opens the site for administrators only, who are that without the provider. The answer is the same for a right
     * and a wrong password.
     */
    public function refusePassword($user, $name)
    {
        if ($name === '' || $name === null) {
            return $user;
        }
        if ($this->arePasswordsOpen() || ($user instanceof WP_User && Sso_Login_Users::isLocalAdministrator($user))) {
            if ($user instanceof WP_User) {
                Sso_Login_Users::takeRoles($user);
            }
            return $user;
        }
        return new WP_Error('sso_login', esc_html(Sso_Login_Texts::get('Sign in with the city account. The password form is for administrators.')));
    }

    public function mayUsePassword($allowed, $userId)
    {
        $user = get_user_by('id', (int) $userId);
        return $this->arePasswordsOpen() || ($user && Sso_Login_Users::isLocalAdministrator($user)) ? $allowed : false;
    }

    public function endRoles($userId)
    {
        $user = get_user_by('id', (int) $userId);
        if ($user) {
            Sso_Login_Users::takeRoles($user);
        }
    }

    /** An application password would outlive the end of the session. */
    public function mayUseApplicationPassword($available, $user)
    {
        return $available && !Sso_Login_Users::isLinked($user->ID);
    }

    /** After the sign-out here, sign out at the provider. */
    public function logoutUrl($target)
    {
        if (!$this->isReady() || $this->session->get('sso') === null) {
            return $target;
        }
        try {
            return $this->client()->logoutUrl();
        } catch (SsoException $error) {
            return $target; // the provider does not answer: the user is signed out here
        }
    }

    public function allowProvider($hosts)
    {
        $host = wp_parse_url(Sso_Login_Settings::get('issuer'), PHP_URL_HOST);
        return is_string($host) ? array_merge($hosts, array($host)) : $hosts;
    }

    /** The own profile: link the city account. */
    public function profile(WP_User $user)
    {
        if (!$this->isReady()) {
            return;
        }
        echo '<h2>' . esc_html(Sso_Login_Texts::get('City account')) . '</h2><p>';
        if (Sso_Login_Users::isLinked($user->ID)) {
            echo esc_html(Sso_Login_Texts::get('Linked'));
        } else {
            $url = wp_nonce_url(admin_url('admin-post.php?action=sso_login_link'), 'sso_login_link');
            echo '<a class="button" href="' . esc_url($url) . '">' . esc_html(Sso_Login_Texts::get('Link the city account')) . '</a>';
        }
        echo '</p>';
    }

    public function beginLink()
    {
        check_admin_referer('sso_login_link');
        if (!$this->isReady()) {
            wp_die(esc_html(Sso_Login_Texts::get('The sign-in cannot be used yet:')));
        }
        $asks = wp_parse_url(admin_url('admin-post.php'), PHP_URL_PATH) . '?action=sso_login_confirm';
        try {
            $url = $this->client()->loginUrl($asks, array('prompt' => 'login')); // not whoever is signed in there
        } catch (SsoException $error) {
            $this->client()->send($this->client()->failure($_SERVER, $error));
        }
        parse_str(wp_parse_url($url, PHP_URL_QUERY), $sent);
        $links = $this->session->get('links');
        $links = is_array($links) ? $links : array();
        $links[$sent['state']] = array(get_current_user_id(), time());
        $this->session->set('links', array_slice($links, -5, null, true));
        $this->redirect($url);
    }

    /** Show the city account that just signed in, and link it when the user confirms. */
    public function confirmLink()
    {
        nocache_headers();
        $asked = $this->session->get('confirm');
        $claims = $this->isReady() ? $this->client()->user() : null;
        if ($claims === null || !$this->isOfCurrentUser($asked) || $asked[2] !== $claims['sub']) {
            wp_die(esc_html(Sso_Login_Texts::get(self::LINK_AGAIN)), '', array('response' => 403));
        }
        $action = 'sso_login_confirm ' . $claims['sub'];
        if ($_SERVER['REQUEST_METHOD'] !== 'POST') {
            $title = Sso_Login_Texts::get('Link this city account?');
            wp_die($this->confirmation(wp_get_current_user(), $claims, wp_create_nonce($action)), esc_html($title), array('response' => 200));
        }
        check_admin_referer($action);
        $this->session->set('confirm', null);
        if ($this->requested('choice') === 'link') {
            $this->linkCurrentUser($claims);
        } else {
            $this->session->destroy(); // of the city account; the user stays signed in with the password
        }
        $this->redirect(admin_url('profile.php'));
    }

    private function linkCurrentUser(array $claims)
    {
        $user = wp_get_current_user();
        try {
            $this->users->link($user, $claims);
        } catch (SsoException $error) {
            $this->session->destroy();
            $this->client()->send($this->client()->failure($_SERVER, $error));
        }
        $this->users->applyRoles($user, $claims);
        $this->beginSession($user);
    }

    /** Return the form that asks, as HTML. */
    public function confirmation(WP_User $user, array $claims, $nonce)
    {
        $html = '<h1>' . esc_html(Sso_Login_Texts::get('Link this city account?')) . '</h1><p>'
            . esc_html(sprintf(Sso_Login_Texts::get('This city account will sign in to this site as %s.'), $user->user_login)) . '</p><dl>';
        foreach (array('name' => 'Name', 'email' => 'E-mail') as $claim => $label) {
            $value = isset($claims[$claim]) && is_string($claims[$claim]) && $claims[$claim] !== '' ? $claims[$claim] : '–';
            $html .= '<dt>' . esc_html(Sso_Login_Texts::get($label)) . '</dt><dd><strong>' . esc_html($value) . '</strong></dd>';
        }
        return $html . '</dl><form method="post" action="' . esc_url(admin_url('admin-post.php')) . '">'
            . '<input type="hidden" name="action" value="sso_login_confirm"><input type="hidden" name="_wpnonce" value="' . esc_attr($nonce) . '">'
            . '<button class="button" name="choice" value="link">' . esc_html(Sso_Login_Texts::get('Link the city account')) . '</button> '
            . '<button class="button" name="choice" value="cancel">' . esc_html(Sso_Login_Texts::get('Cancel')) . '</button></form>';
    }

    private function redirect($url)
    {
        $this->client()->send(array('status' => 303, 'headers' => array('Location' => $url, 'Cache-Control' => 'no-store'), 'body' => ''));
    }
}
